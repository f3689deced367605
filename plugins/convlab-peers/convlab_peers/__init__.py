"""Other libraries as convlab algorithms, one file a library, through nothing but convlab's public interface.

Importing these modules imports none of the libraries: each is loaded by the first `prepare` or `run`.
"""
