"""The robots that ship with metarl, and what varies about each: one file per robot, and what several share."""
