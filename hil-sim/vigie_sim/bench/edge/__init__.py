"""``vigie-sim bench edge``: the agent under load, each figure beside a bare loop that does only the essential."""
