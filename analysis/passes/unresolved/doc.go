// Package unresolved reports gotos that lead nowhere.
//
// A goto continues at the first rule that has exactly the target's priority.
// If there is none, it does nothing and the next rule is asked; the kernel
// accepts it, and sends no event when the target of a working goto is deleted.
package unresolved
