"""What joins the processes of an agent: memory-mapped files and doorbells, never a lock."""
