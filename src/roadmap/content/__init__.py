"""What a concept holds: a tutorial, resources and a quiz, each written and kept on its own."""
