"""Jobs: any program writes its logs, progress and data to a stream, and hears of a stop."""
