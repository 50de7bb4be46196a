"""Something to look at: figures, and replays of a task before and after adaptation."""
