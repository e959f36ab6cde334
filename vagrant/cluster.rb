# SPDX-License-Identifier: GPL-3.0-or-later
# What the Vagrantfile needs to know of the cluster, and what it asks of ./playground.

require "json"
require "yaml"

# What cluster.yml says. Checking it is the command line's work; this only reads.
class ClusterSettings
  TYPES = { "string" => String, "integer" => Integer, "number" => Numeric }.freeze

  attr_reader :folder

  def initialize(root)
    usual = File.join(root, "cluster.yml")
    named = ENV["PLAYGROUND_CLUSTER_FILE"].to_s
    @file = named.empty? ? usual : File.expand_path(named)
    @folder = File.dirname(@file)
    @schema = JSON.parse(File.read(File.join(root, "cluster.schema.json")))["properties"]
    @values = YAML.safe_load(File.read(@file)) || {}
    @vagrant_folder = File.expand_path(ENV["VAGRANT_DOTFILE_PATH"] || ".vagrant", root)
    refuse_shared_folder(root) unless File.identical?(@file, usual)
  end

  # A key's value, or its default.
  def [](key)
    property = @schema.fetch(key)
    value = @values.fetch(key, property["default"])
    type = TYPES[property["type"]]
    raise "#{@file}: #{key}: found #{value.inspect}" unless type.nil? || value.is_a?(type)

    value
  end

  def state(*parts)
    File.join(@folder, ".playground", *parts)
  end

  # The identity that Vagrant keeps of a machine it has made.
  def identity(name, provider = "*")
    Dir.glob(File.join(@vagrant_folder, "machines", name, provider, "id")).first
  end

  def nodes
    [ClusterNode.new(self, "control-1", 0)] +
      (1..self["agents_min"]).map { |number| ClusterNode.new(self, "agent-#{number}", number) }
  end

  private

  def refuse_shared_folder(root)
    return unless @vagrant_folder == File.join(root, ".vagrant")

    raise "PLAYGROUND_CLUSTER_FILE names another cluster, whose machines Vagrant would take for " \
          "this one's. Set VAGRANT_DOTFILE_PATH, too, to #{File.join(@folder, ".vagrant")}"
  end
end

# One machine of the cluster.
class ClusterNode
  attr_reader :name

  # number: 0 for the control node, N for agent-N.
  def initialize(cluster, name, number)
    @cluster = cluster
    @name = name
    @number = number
    @role = number.zero? ? "control" : "agent"
  end

  # Name in VirtualBox and in the container engine.
  def full_name
    "#{@cluster["cluster_name"]}-#{@name}"
  end

  # In the machines' network control-1 is 10 and agent-N is 100 + N.
  def address
    last = @role == "control" ? 10 : 100 + @number
    @cluster["virtualbox_network"].sub(%r{0/24\z}, last.to_s)
  end

  # Purpose => [port on the host, port in the machine].
  def ports
    own = @role == "control" ? control_ports : agent_ports
    { "ssh" => [@cluster["port_ssh"] + @number, 22] }.merge(own)
  end

  def memory_mb
    @cluster["#{@role}_memory_mb"]
  end

  # Whole CPUs.
  def cpus
    share.ceil
  end

  # How much of each CPU the machine may use, percent.
  def cpu_cap
    (100 * share / cpus).round.clamp(1, 100)
  end

  def description
    made = Time.now.utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    "Machine #{@name} of the cluster #{@cluster["cluster_name"]}, made #{made} by the playground."
  end

  private

  def share
    @cluster["#{@role}_cpus"]
  end

  def control_ports
    tls = { "load_balancer_tls" => [@cluster["port_load_balancer_tls"], 443] }
    { "load_balancer" => [@cluster["port_load_balancer"], 80],
      "dashboard" => [@cluster["port_dashboard"], 9000],
      "prometheus" => [@cluster["port_prometheus"], 9090],
      **(@cluster["load_balancer_tls"] == "none" ? {} : tls) }
  end

  def agent_ports
    { "app" => [@cluster["port_app"] + @number, 5000],
      "metrics" => [@cluster["port_metrics"] + @number, 5100] }
  end
end

# The part of bringing machines up that is ./playground's.
class ClusterCommand
  # The command has said on the terminal what went wrong.
  class Failed < Vagrant::Errors::VagrantError
    error_message("The playground could not do its part; what went wrong is said above.")
  end

  # A template is there to be cloned by VirtualBox.
  class NoTemplate < Vagrant::Errors::VagrantError
    error_message("Containers are made from images: there is no template with this provider.")
  end

  def initialize(root, cluster)
    @root = root
    @cluster = cluster
    @prepared = {}
    @held = false
    @removing = false
  end

  # What all machines need before there is one; once in each run of Vagrant.
  def prepare(machine)
    provider = machine.provider_name.to_s
    return if @prepared[provider]

    run(machine, "vagrant", "prepare", "--provider", provider)
    @prepared[provider] = true
  end

  # The Server Manager makes the containers; everything after that is Vagrant's.
  def adopt_container(machine)
    id = ask(machine, "vagrant", "machine", machine.name.to_s)
    machine.id = id unless machine.id == id
    machine.config.ssh.private_key_path = [@cluster.state("ssh", "id_ed25519")]
  end

  # Give a virtual machine the keys by which the cluster knows it, if it has them not.
  def seed(machine)
    guest = machine.communicate
    user_key = File.read(@cluster.state("ssh", "id_ed25519.pub")).strip
    return if guest.test("grep -qxF '#{user_key}' /root/.ssh/authorized_keys &&
                          test -e /etc/ssh/sshd_config.d/10-playground.conf", sudo: true)

    archive = ask(machine, "vagrant", "seed", machine.name.to_s)
    begin
      guest.execute("install --directory --mode=0700 .playground-seed")
      guest.upload(archive, ".playground-seed/files.tar")
    ensure
      File.delete(archive)
    end
    guest.execute("sudo tar --extract --preserve-permissions --directory=/ \
                     --file=.playground-seed/files.tar &&
                   rm -r .playground-seed && sudo systemctl restart ssh.service")
  end

  # The whole cluster: finds the machines that are there, and runs site.yml once for all.
  def provision(machine)
    run(machine, "vagrant", "hold") # agents that are not in service yet are no surplus
    run(machine, "up", "--provider", machine.provider_name.to_s)
  end

  # The scaler must not bring back what is about to be taken away.
  def hold(machine)
    return if @held || machine.id.nil? || !File.exist?(@cluster.state("token"))

    run(machine, "vagrant", "hold")
    @held = true
  end

  def remove(machine)
    @removing ||= !machine.id.nil?
    hold(machine)
  end

  # When the last of Vagrant's machines is gone, so are the template and the scaler's agents.
  def remove_rest(machine, names)
    return if !@removing || names.any? { |name| @cluster.identity(name) }

    @removing = false
    run(machine, "down", "--keep-images")
    machine.env.machine(:template, machine.provider_name).id = nil
  end

  private

  # Run ./playground and show what it says.
  def run(machine, *arguments)
    call(arguments) { |_, text| show(machine, text) }
  end

  # Run ./playground and return the last line that it prints.
  def ask(machine, *arguments)
    result = call(arguments) { |stream, text| show(machine, text) if stream == :stderr }
    result.stdout.strip.lines.last.to_s
  end

  def call(arguments, &block)
    program = File.join(@root, "playground")
    options = { workdir: @root, notify: %i[stdout stderr] }
    result = Vagrant::Util::Subprocess.execute(program, *arguments, options, &block)
    raise Failed unless result.exit_code.zero?

    result
  end

  def show(machine, text)
    machine.env.ui.detail(text, new_line: false, prefix: false)
  end
end

# A provisioner whose work is a block of the Vagrantfile: it obeys --no-provision and
# `vagrant provision`, which a trigger does not.
class ClusterPlugin < Vagrant.plugin("2")
  name "playground"

  # Configuration of the provisioner.
  class Config < Vagrant.plugin("2", :config)
    attr_accessor :work
  end

  # The provisioner.
  class Provisioner < Vagrant.plugin("2", :provisioner)
    def provision
      config.work.call(@machine)
    end
  end

  config(:playground, :provisioner) { Config }
  provisioner(:playground) { Provisioner }
end
