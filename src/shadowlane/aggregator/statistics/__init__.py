"""The figures' formulas: pure functions, each held to another library's in the tests."""
