"""The figures' formulas: pure functions of counts and columns, each held to another library's in the tests."""
