"""Planning: how many requests and days it takes, and what they cost."""
