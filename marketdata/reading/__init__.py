"""What is in a file that somebody brings along? These modules are sent into a box and run there (program.py); the site
imports only what it needs to talk about the answer. They know pandas and pyarrow, nothing of Django.

    containers  what kind of file is it, and is it small enough to be opened at all
    delimited   a text file -> columns of text: encoding, delimiter, header
    typed       spreadsheets, Parquet and Feather -> columns
    dates       which day or moment is meant; asks where there are two readings
    figures     text -> numbers: decimal and thousands separators
    naming      which column is which
    placing     when each row is: the column and form of its dates, zone and interval
    checks      what is wrong with values, order and times, row by row
    table       all of it together: choices, first rows, remarks by row
"""
