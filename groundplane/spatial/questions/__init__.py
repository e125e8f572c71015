"""From an English question to a query: text, noun phrases, viewpoints, forms, parser."""
