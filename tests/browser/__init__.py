"""Browser tests: a package, so that their conftest is told from that of all tests."""
