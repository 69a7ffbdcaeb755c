"""The specs: what refnet's interfaces promise, each with the test that proves it. One module per topic."""
