"""What people are shown of a job, as a document: its blocks, and its forms (text, Markdown, HTML).

A document holds AWS's words as they are; each form makes them safe where it puts them.
"""
