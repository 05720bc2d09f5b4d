"""Floor 3: what a DAW and a shell talk to: OSC, press, daemon, panel, DAW scripts, doctor, command line."""
