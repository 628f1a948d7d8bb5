"""What measured answers allow to say: intervals, strengths out of votes, comparisons by prompt."""
