"""What a long list of models costs, and servers in the settings that are not there."""
