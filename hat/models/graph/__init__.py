"""What `GraphModel` is made of: its topology, its cuts, its partly labelled batches."""
