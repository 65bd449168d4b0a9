"""What a run tells people: the HTML report, the summary file and the closing lines."""
