// Package cli is what a person types: it parses arguments, calls one library
// function, and hands the result to a view for people or for programs (JSON).
//
// Standard output carries the answer, standard error the conversation. Names
// of interfaces and tables come from outside, so every view prints them
// through [safe], which lets no control byte reach a terminal.
package cli

//go:generate env UPDATE_GOLDEN=1 go test -run ^TestManPages$ .
