"""The report on a job, as a document: its blocks, and its forms (text, Markdown, HTML).

A document holds AWS's words unchanged; each form makes them safe where it inserts them.
"""
