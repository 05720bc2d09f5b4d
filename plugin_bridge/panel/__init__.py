"""The panel: a local page that shows each press live, and on which hits are heard in the mix and chosen."""
