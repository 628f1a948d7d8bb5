"""TGI's form of asking and answering."""
