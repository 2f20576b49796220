package config

import (
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Overrides are what wins over the file, beside the environment: every single value outside lists has a variable, such
// as CACHEPROXY_LISTEN for listen and CACHEPROXY_MEMORY_SIZE for memory.size. An empty variable counts as unset.
type Overrides struct {
	// Flags are a command's: --listen and --admin win over environment and file where they were given. nil: none.
	Flags *pflag.FlagSet
	// WithoutSecrets checks a configuration where its secrets are not, such as in a pipeline: variables and files that it fills in,
	// and files of certificates and keys, may be missing, and are warned about. What comes of it cannot be served.
	WithoutSecrets bool
}

// flagKeys are the flags that override keys.
var flagKeys = map[string]string{"listen": "listen", "admin.listen": "admin"}

// environmentName is the variable that overrides the key at path, which is a single value outside lists.
func environmentName(path string) string {
	return "CACHEPROXY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// override puts what environment and flags say in place of what the file says. viper knows which of them wins; lines
// and strictness it does not know, which is why it does not see the file.
func (d *decoder) override(p *part, o Overrides, v *viper.Viper) {
	for _, k := range p.keys {
		path := p.at(k.name)
		if k.is.shape == mapping {
			d.override(p.parts[k.name], o, v)
		}
		if k.is.shape != single {
			continue
		}
		source := "environment " + environmentName(path)
		if err := v.BindEnv(path, environmentName(path)); err != nil {
			d.problem("", "bind environment: %w", err)
		}
		if flag := o.flag(flagKeys[path]); flag != nil {
			if err := v.BindPFlag(path, flag); err != nil {
				d.problem("", "bind flags: %w", err)
			}
			if flag.Changed {
				source = "flag --" + flag.Name
			}
		}
		if !v.IsSet(path) { // a flag that was not given does not set its key
			continue
		}
		text := v.GetString(path)
		d.places[path] = place{source: source}
		if _, written := d.places[p.path]; !written {
			d.places[p.path] = place{source: source} // what the section lacks is said of what has begun it
		}
		value, ok := d.value(k.is, text, quote(text), path)
		d.store(p, &k, value, ok)
	}
}

func (o Overrides) flag(name string) *pflag.Flag {
	if o.Flags == nil || name == "" {
		return nil
	}
	return o.Flags.Lookup(name)
}
