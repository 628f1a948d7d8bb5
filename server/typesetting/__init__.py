"""What the page does not write itself: formulas as MathML, and Markdown as HTML for exports."""
