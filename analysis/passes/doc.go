// Package passes lists the checks of the routing policy. Each is a folder
// beside this file: its doc.go is the documentation, one short file looks, and
// testdata holds hosts whose comments say what must be found. A new check is
// such a folder and a line in [All].
package passes
