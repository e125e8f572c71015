"""What turns words into regions. Imports core."""
