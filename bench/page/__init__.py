"""The chat page in Chromium: what it costs its reader, beside other ways to show an answer."""
