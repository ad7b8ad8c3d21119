"""Any text, for property tests."""

from hypothesis import strategies as st

# Every character but surrogates, as in text(). That one first asks the codec about each, two seconds in a fresh clone.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
