"""Scripts for each DAW, and their way into its configuration."""
