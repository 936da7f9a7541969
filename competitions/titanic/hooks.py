"""Features for Titanic: the title in a name, and the size of a family."""

import pandas as pd

from kagglerun.hooks import CompetitionHooks

_RARE_BELOW = 10


class Hooks(CompetitionHooks):
    """Parameters of the config's `hooks` section: titles, families (both true unless set)."""

    def features(self, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Add Title, FamilySize and Deck; names and ticket numbers are dropped."""
        both = pd.concat([train, test], ignore_index=True)
        if self.parameters.get("titles", True):
            title = both["Name"].str.extract(r",\s*([^.]+)\.", expand=False).str.strip()
            count = title.map(title.value_counts())
            both["Title"] = title.where(count >= _RARE_BELOW, "Rare")
        if self.parameters.get("families", True):
            both["FamilySize"] = both["SibSp"] + both["Parch"] + 1
            both["TicketShare"] = both["Ticket"].map(both["Ticket"].value_counts())
        both["Deck"] = both["Cabin"].str[0]
        both = both.drop(columns=["Name", "Ticket", "Cabin"])
        return both.iloc[: len(train)], both.iloc[len(train) :]
