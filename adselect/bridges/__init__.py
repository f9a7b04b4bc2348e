"""Between frameworks: a function that one of them differentiates, inside code that another does."""
