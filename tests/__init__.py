"""The tests, a package so that its folders may import each other by full name."""
