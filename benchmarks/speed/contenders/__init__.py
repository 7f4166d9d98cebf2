"""The servers that answer the same requests: what runs in each process, by one file a framework.

All but Chorus's own run in an environment of their own (peers.txt) and share `ranker`: what they differ by is
how a request comes in, waits and goes out.
"""
