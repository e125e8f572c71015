"""What runs language models, in this process or behind a server, as sessions."""
