"""What a run reports to people: the HTML report, the summary file and the closing lines."""
