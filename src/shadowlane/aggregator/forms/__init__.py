"""What a report, a verdict and the rest look like: on a terminal, as JSON, Markdown, HTML and CSV."""
