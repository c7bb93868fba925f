"""What a trained network does, looked at from outside: the very network that was trained, never a copy of its parts.

state_health   whether its recurrent states live: neither frozen nor chaotic, of full rank, bounded, sensitive
branches       what each branch is worth: the change of held-out loss when its output is replaced
"""
