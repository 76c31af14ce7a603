"""The chapters of the report: each is made of paragraphs, tables, figures and what else ``parts`` has."""
