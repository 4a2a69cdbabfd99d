"The pipeline of the answer: settings, other packages' models, tables, and two long studies. See README.md."
