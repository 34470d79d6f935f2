package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says in words of ours what the library of flags says of an option that
// is none, or has a value that it cannot have.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		value   *pflag.InvalidValueError
		syntax  *pflag.InvalidSyntaxError
	)
	of := called(cmd)
	var text string
	switch {
	case errors.As(err, &unknown):
		text = of + "unknown option " + spelled(unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames())
	case errors.As(err, &missing):
		text = fmt.Sprintf("--%s: its value is missing", missing.GetFlag().Name)
	case errors.As(err, &value):
		f := value.GetFlag()
		text = fmt.Sprintf("--%s %q: %s", f.Name, value.GetValue(), notValue(f.Value.Type(), value.Unwrap()))
	case errors.As(err, &syntax):
		text = of + "no option: " + syntax.GetSpecifiedFlag()
	default:
		return err
	}
	return &usageError{text, seeHelp(cmd)}
}

// spelled is an option as it was written: by its name, or by a letter among others.
func spelled(name, letters string) string {
	switch letters {
	case "":
		return "--" + name
	case name:
		return "-" + name
	}
	return fmt.Sprintf("-%s in -%s", name, letters)
}

// notValue says why something is no value of a type of flags.
func notValue(kind string, cause error) string {
	switch kind {
	case "bool":
		return "it is true or false"
	case "duration":
		return "not a time such as 90s or 5m"
	case "int", "uint8":
		return "not a whole number, or too large"
	case "stringSlice":
		return "its quotation marks are no pairs around values"
	}
	return cause.Error()
}
