"""What is looked at in processes of their own, since a driver may crash or hang whoever asks it.

Each module is a program: `python -m kagglerun.environment.doctor.children.gpus`. It tells what it finds as JSON, one
object a line, as soon as it knows it; what is said before a crash counts.
"""
