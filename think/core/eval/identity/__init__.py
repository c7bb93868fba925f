"""Does a model keep who is who? A fact about a person is told once, and asked for later among ten or more values.

facts     what is told and asked, in two splits that share neither values nor small talk
listener  a trained model that reads and is asked
run       all probes before a listener, counted, with the control

The design is balanced: in a block every value is the truth once, and all that is read after the facts is equal. So a
model that has forgotten them gives one answer for the whole block and is right in exactly one of N: chance is no
estimate, and the control, whose state is cleared after the facts, has to hit it exactly.
"""
