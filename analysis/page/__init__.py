"""The report as one page (html_page.py) or in Markdown, with a methods paragraph, made anew while a sweep runs."""
