"""What was tried in a search over parameters: form.py asks for it, questions.py keeps it, results.py shows it."""
