module rpdb

go 1.26.0
