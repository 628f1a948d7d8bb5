"""What tests of several floors share: real programs to speak to, and ways to wait for them."""
