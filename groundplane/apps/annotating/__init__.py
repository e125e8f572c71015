"""What the commands of annotation do: run, tell, show; nothing here imports torch."""
