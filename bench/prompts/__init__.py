"""What requests say: bodies, conversations, data sets, token-exact words.

In: the prompts of a `Workload`, the model's tokenizer where lengths are exact, and a seed. Out: `request_bodies` and `session_bodies`,
which make the bytes of request k (or of turn t of session s) as a function of workload, seed and number alone.
"""
