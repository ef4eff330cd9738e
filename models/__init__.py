"""Access to language models: requests, the asynchronous client, structured replies, budgets, prompts, batches."""
