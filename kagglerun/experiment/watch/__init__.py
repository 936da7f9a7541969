"""What a run takes of the machine while it trains: kept in its journal, shown to others, and judged."""
